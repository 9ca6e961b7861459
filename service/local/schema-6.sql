-- What people look at before the whole picture: a BlurHash, and smaller pictures as [name, key, type, width, height].
ALTER TABLE images ADD COLUMN placeholder TEXT NOT NULL DEFAULT '';
ALTER TABLE images ADD COLUMN variants_json TEXT NOT NULL DEFAULT '[]';
ALTER TABLE images ADD COLUMN strip_location INTEGER NOT NULL DEFAULT 0;
