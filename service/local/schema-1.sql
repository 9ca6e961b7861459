-- One row an image, from its first moment as an upload to the end of its tombstone.
-- Times are milliseconds since 1970 (UTC), sizes bytes. tags_json keeps order and spelling.
CREATE TABLE images (
    image_id      TEXT PRIMARY KEY,
    state         TEXT NOT NULL,
    deadline      INTEGER,               -- when sweep looks at it; NULL: never again
    user_id       TEXT NOT NULL,
    title         TEXT NOT NULL,
    title_folded  TEXT NOT NULL,
    description   TEXT NOT NULL,
    tags_json     TEXT NOT NULL,
    filename      TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    method        TEXT NOT NULL,         -- what the client declared of the bytes to come
    declared_type TEXT NOT NULL,
    declared_size INTEGER,
    declared_sha256 TEXT,
    failure_code  TEXT,
    failure_detail TEXT,
    object_key    TEXT,                  -- what the bytes are, once READY
    content_type  TEXT,
    file_size     INTEGER,
    sha256        TEXT,
    width         INTEGER,
    height        INTEGER
) WITHOUT ROWID;

-- Sparse: only what can be listed, only what will be due.
CREATE INDEX images_newest ON images (created_at DESC, image_id DESC) WHERE state = 'ready';
CREATE INDEX images_of_user ON images (user_id, created_at DESC, image_id DESC) WHERE state = 'ready';
CREATE INDEX images_due ON images (deadline) WHERE deadline IS NOT NULL;

-- A row for each tag of each READY image, in the order of a list.
CREATE TABLE image_tags (
    tag        TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    image_id   TEXT NOT NULL REFERENCES images (image_id) ON DELETE CASCADE,
    PRIMARY KEY (tag, created_at DESC, image_id DESC)
) WITHOUT ROWID;
CREATE INDEX image_tags_of_image ON image_tags (image_id, tag);

CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
