(function () {
  var input = document.getElementById("filter"), rows = document.querySelectorAll("#event-rows tr"), shown = document.getElementById("shown");
  if (!input) return;
  input.closest(".filter").hidden = false;
  var pattern = shown.dataset.pattern;
  input.addEventListener("input", function () {
    var words = input.value.toLowerCase().split(/\s+/).filter(Boolean), count = 0;
    rows.forEach(function (row) {
      var text = row.textContent.toLowerCase();
      row.hidden = !words.every(function (word) { return text.indexOf(word) >= 0; });
      if (!row.hidden) count += 1;
    });
    shown.textContent = pattern.replace("0", count);
  });
})();
