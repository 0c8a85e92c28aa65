-- The bank: double-entry tables. Accounts are the same in every run, so that runs can be compared.
CREATE ROLE replicator REPLICATION LOGIN PASSWORD 'replicator';
CREATE ROLE bank LOGIN PASSWORD 'bank';
CREATE ROLE repmgr SUPERUSER LOGIN;
CREATE DATABASE repmgr OWNER repmgr;
CREATE ROLE monitor LOGIN;  -- of balancers that ask a server itself whether it is the primary; sees nothing of the bank
ALTER ROLE postgres PASSWORD 'postgres';
CREATE DATABASE bank OWNER postgres;
\connect bank

CREATE TABLE accounts (
  id            text COLLATE "C" PRIMARY KEY,
  opening_minor bigint NOT NULL,
  balance_minor bigint NOT NULL
) WITH (fillfactor = 50);  -- room for updates on the same page

CREATE TABLE payments (
  key          text COLLATE "C" PRIMARY KEY,
  debit        text COLLATE "C" NOT NULL REFERENCES accounts,
  credit       text COLLATE "C" NOT NULL REFERENCES accounts,
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (debit <> credit)
);

CREATE TABLE entries (
  key          text COLLATE "C" NOT NULL REFERENCES payments,
  account      text COLLATE "C" NOT NULL REFERENCES accounts,
  amount_minor bigint NOT NULL,  -- a debit is negative: the entries of a payment sum to 0
  PRIMARY KEY (key, account)
);

-- Lets a fault push a damaged page out of memory, so that the next reader gets what is on the disk.
CREATE EXTENSION pg_buffercache;

-- One row a center, made by its bank's first beat: a bank that can write here can write. The row must come about by the write
-- itself: an update that matches none waits for no copy.
CREATE TABLE heartbeat (center text PRIMARY KEY, beat bigint NOT NULL DEFAULT 0);

INSERT INTO accounts
  SELECT 'acc-' || lpad(n::text, 4, '0'), 1000000000, 1000000000 FROM generate_series(0, 999) n;

CREATE FUNCTION beat(p_center text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO heartbeat AS here (center, beat) VALUES (p_center, 1) ON CONFLICT (center) DO UPDATE SET beat = here.beat + 1;
$$;

-- One payment, one round trip. Answers committed, again (the same payment already stood) or conflict (the key is taken).
CREATE FUNCTION pay(p_key text, p_debit text, p_credit text, p_amount bigint, p_center text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  standing payments;
  found_accounts int;
BEGIN
  INSERT INTO payments (key, debit, credit, amount_minor) VALUES (p_key, p_debit, p_credit, p_amount)
    ON CONFLICT (key) DO NOTHING;
  IF NOT FOUND THEN
    SELECT * INTO standing FROM payments WHERE key = p_key;
    IF (standing.debit, standing.credit, standing.amount_minor) IS DISTINCT FROM (p_debit, p_credit, p_amount) THEN
      RETURN 'conflict';
    END IF;
    -- The first commit may still wait for its second copy. A write of our own, committed after it, waits for both.
    PERFORM beat(p_center);
    RETURN 'again';
  END IF;
  -- Locked in one order everywhere, or two opposite payments deadlock; and weaker than the foreign keys' own lock,
  -- which the insert above already holds.
  PERFORM 1 FROM accounts WHERE id IN (p_debit, p_credit) ORDER BY id FOR NO KEY UPDATE;
  UPDATE accounts SET balance_minor = balance_minor + CASE WHEN id = p_debit THEN -p_amount ELSE p_amount END
    WHERE id IN (p_debit, p_credit);
  INSERT INTO entries VALUES (p_key, p_debit, -p_amount), (p_key, p_credit, p_amount);
  RETURN 'committed';
END $$;

GRANT SELECT, INSERT ON payments, entries TO bank;
GRANT SELECT, UPDATE ON accounts TO bank;
GRANT SELECT, INSERT, UPDATE ON heartbeat TO bank;
VACUUM (FREEZE, ANALYZE);
