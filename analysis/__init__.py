"""Beyond one verdict: many runs beside each other, why a verdict is what it is, what a fault should do, and what is covered."""
