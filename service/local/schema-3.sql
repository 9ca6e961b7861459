-- Who sees an image beside its user: nobody ("private"), or everybody ("public").
ALTER TABLE images ADD COLUMN visibility TEXT NOT NULL DEFAULT 'private';
ALTER TABLE listed ADD COLUMN visibility TEXT NOT NULL DEFAULT 'private';
