-- Images that were published and then deleted, for ever: a copy from another depot must not bring them back.
CREATE TABLE deletions (image_id TEXT PRIMARY KEY) WITHOUT ROWID;
