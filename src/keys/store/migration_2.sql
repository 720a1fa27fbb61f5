-- Schema version 2: keys that were destroyed. Their rows in `keys` stay, as a record of what there was; their wraps go.

CREATE TABLE destroyed (
    key_id BLOB PRIMARY KEY CHECK (length(key_id) = 16)
) STRICT, WITHOUT ROWID;

-- What is destroyed stays destroyed.
CREATE TRIGGER destroyed_stays BEFORE UPDATE ON destroyed BEGIN SELECT raise(ABORT, 'destroyed keys stay destroyed'); END;
CREATE TRIGGER destroyed_remains BEFORE DELETE ON destroyed BEGIN SELECT raise(ABORT, 'destroyed keys stay destroyed'); END;

-- A record is deleted only when its key is destroyed, and none comes back.
DROP TRIGGER records_remain;
CREATE TRIGGER records_remain BEFORE DELETE ON records
WHEN NOT EXISTS (SELECT 1 FROM keys k JOIN destroyed d ON d.key_id = k.key_id WHERE k.id = OLD.key)
BEGIN SELECT raise(ABORT, 'records are never deleted'); END;
CREATE TRIGGER records_of_the_living BEFORE INSERT ON records
WHEN EXISTS (SELECT 1 FROM keys k JOIN destroyed d ON d.key_id = k.key_id WHERE k.id = NEW.key)
BEGIN SELECT raise(ABORT, 'the key is destroyed'); END;
