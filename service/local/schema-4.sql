-- Which upload a user's idempotency key stands for. Later claims remove those that have expired.
CREATE TABLE claims (
    user_id     TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    process     TEXT NOT NULL,
    image_id    TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    upload_expires_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
) WITHOUT ROWID;
CREATE INDEX claims_oldest ON claims (created_at);
