-- Every list is a list of numbers that sort as the images do: milliseconds * 32768, and then whatever is free. FTS5
-- sorts by nothing else, and it keeps what a list needs of an image close to what it needs of the next.
CREATE TABLE listed (
    listing  INTEGER PRIMARY KEY,
    image_id TEXT NOT NULL UNIQUE REFERENCES images (image_id) ON DELETE CASCADE,
    user_id  TEXT NOT NULL,
    title    TEXT NOT NULL               -- folded
);
CREATE INDEX listed_of_user ON listed (user_id, listing);

CREATE TABLE listed_tags (
    tag     TEXT NOT NULL,               -- folded
    listing INTEGER NOT NULL REFERENCES listed (listing) ON DELETE CASCADE,
    PRIMARY KEY (tag, listing)
) WITHOUT ROWID;
CREATE INDEX listed_tags_of_image ON listed_tags (listing);

CREATE VIRTUAL TABLE title_parts USING fts5 (
    title, content = 'listed', content_rowid = 'listing', tokenize = 'trigram case_sensitive 1'
);
CREATE TRIGGER listed_added AFTER INSERT ON listed BEGIN
    INSERT INTO title_parts (rowid, title) VALUES (new.listing, new.title);
END;
CREATE TRIGGER listed_removed AFTER DELETE ON listed BEGIN
    INSERT INTO title_parts (title_parts, rowid, title) VALUES ('delete', old.listing, old.title);
END;

INSERT INTO listed
SELECT
    created_at * 32768 + row_number() OVER (PARTITION BY created_at ORDER BY image_id) - 1,
    image_id, user_id, title_folded
FROM images WHERE state = 'ready';
INSERT INTO listed_tags SELECT tag, listing FROM image_tags JOIN listed USING (image_id);

DROP TABLE image_tags;
DROP INDEX images_newest;
DROP INDEX images_of_user;
