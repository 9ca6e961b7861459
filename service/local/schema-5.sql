-- What one user's images take is a sum over this index alone.
CREATE INDEX images_usage ON images (user_id, file_size) WHERE state = 'ready';
