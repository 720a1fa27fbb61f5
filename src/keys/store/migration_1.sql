-- Schema version 1. A released migration is never changed: write the next one.

CREATE TABLE schema_version (
    version INTEGER PRIMARY KEY,
    applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT;

-- One row for each content key: what it belongs to, and what can be told about it.
CREATE TABLE keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id BLOB NOT NULL UNIQUE CHECK (length(key_id) = 16),
    suite INTEGER NOT NULL,
    sop_class TEXT NOT NULL,
    sop_instance TEXT NOT NULL,
    study TEXT,
    series TEXT,
    calling TEXT,
    sealed_unix_millis INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT;

CREATE INDEX keys_by_sop_instance ON keys (sop_instance);
CREATE INDEX keys_by_study ON keys (study);
CREATE INDEX keys_by_calling ON keys (calling, sealed_unix_millis);
CREATE INDEX keys_by_time ON keys (sealed_unix_millis);

-- Every wrap of a content key: version 1 when it was sealed, one more for each rewrap.
CREATE TABLE records (
    key INTEGER NOT NULL REFERENCES keys (id),
    version INTEGER NOT NULL CHECK (version >= 1),
    wrapped_unix_millis INTEGER NOT NULL,
    kek_set BLOB NOT NULL,
    record BLOB NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    PRIMARY KEY (key, version)
) STRICT, WITHOUT ROWID;

-- Append-only, whoever asks.
CREATE TRIGGER keys_stay BEFORE UPDATE ON keys BEGIN SELECT raise(ABORT, 'keys are never changed'); END;
CREATE TRIGGER keys_remain BEFORE DELETE ON keys BEGIN SELECT raise(ABORT, 'keys are never deleted'); END;
CREATE TRIGGER records_stay BEFORE UPDATE ON records BEGIN SELECT raise(ABORT, 'records are never changed'); END;
CREATE TRIGGER records_remain BEFORE DELETE ON records BEGIN SELECT raise(ABORT, 'records are never deleted'); END;
