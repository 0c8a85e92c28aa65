# One image for every machine of a topology (database, witness, balancer, bank): what runs is chosen by the command.
FROM debian:trixie-slim
ENV DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8
# policy-rc.d: packages must not start services while they are installed.
# createcluster.conf: no default cluster; ours is made below.
RUN printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \
 && mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
 && apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends \
      postgresql-17 postgresql-17-repmgr repmgr postgresql-17-auto-failover pg-auto-failover-cli pgbackrest openssh-server patroni python3-etcd etcd-server etcd-client haproxy \
      python3-uvicorn python3-uvloop python3-httptools python3-starlette python3-asyncpg \
      nftables iproute2 iputils-ping procps util-linux \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY schema.sql /opt/drillbook/
# Who may write into a backup repository: one key, made with the image, for a laboratory on one machine. The account of a
# repository has no password, and isn't locked.
RUN ssh-keygen -q -t rsa -b 3072 -m PEM -N '' -C backup -f /opt/drillbook/backup-key && chown postgres /opt/drillbook/backup-key \
 && usermod -p '*' postgres && install -d -o postgres -g postgres /var/lib/pgbackrest && rm -f /etc/pgbackrest.conf
# The data directory is made once, here; a node starts from a copy of it (0.3 s against 1 s for initdb). A new segment of
# WAL, and none kept to be used again: a quarter less to copy, five times.
RUN install -d -o postgres -g postgres /opt/drillbook/baked /var/lib/postgresql/data /run/postgresql \
 && setpriv --reuid postgres --regid postgres --init-groups sh -eu -c '\
      bin=/usr/lib/postgresql/17/bin; data=/opt/drillbook/baked; \
      $bin/initdb -D $data --data-checksums --encoding UTF8 --locale C.UTF-8 --auth-local trust --auth-host scram-sha-256 -U postgres >/dev/null; \
      $bin/pg_ctl -D $data -w -s -o "-c listen_addresses= -c unix_socket_directories=/tmp -c wal_log_hints=on -c wal_recycle=off" -l /tmp/bake.log start; \
      psql -h /tmp -q -v ON_ERROR_STOP=1 -f /opt/drillbook/schema.sql; \
      psql -h /tmp -q -t -c "SELECT pg_switch_wal()" -c checkpoint >/dev/null; \
      $bin/pg_ctl -D $data -w -s -m fast stop; rm -f /tmp/bake.log' \
 && chmod 700 /opt/drillbook/baked /var/lib/postgresql/data
COPY admission.py bank.py edge.py edge_store.py baked.py server.py run-node patroni-node server-node repmgr-node repmgr-promote repmgr-follow watcher-node autofailover-node repository-node /opt/drillbook/
RUN chmod 755 /opt/drillbook/*-node /opt/drillbook/repmgr-*
ENTRYPOINT ["/opt/drillbook/run-node"]
