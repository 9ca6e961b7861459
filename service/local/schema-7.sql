-- Text was folded by case alone: `istanbul` did not find `İstanbul`. ASCII folds as it did.
UPDATE images SET title_folded = fold(title) WHERE title GLOB '*[^ -~]*';

CREATE TEMPORARY TABLE refolded AS
SELECT listing, listed.title AS before, title_folded AS title FROM listed JOIN images USING (image_id)
WHERE listed.title <> title_folded;
INSERT INTO title_parts (title_parts, rowid, title) SELECT 'delete', listing, before FROM refolded;
UPDATE listed SET title = refolded.title FROM refolded WHERE refolded.listing = listed.listing;
INSERT INTO title_parts (rowid, title) SELECT listing, title FROM refolded;
DROP TABLE refolded;

DELETE FROM listed_tags WHERE tag GLOB '*[^ -~]*' AND tag <> fold(tag);
INSERT OR IGNORE INTO listed_tags
SELECT fold(value), listing FROM images JOIN listed USING (image_id), json_each(tags_json)
WHERE tags_json GLOB '*[^ -~]*' OR tags_json LIKE '%\u%';  -- once escaped
