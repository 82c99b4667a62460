-- Generations that are built in memory and then written.

-- Until then somebody writes the rows of this generation: they are half-written, and nobody else touches them. NULL: nobody does.
ALTER TABLE generations ADD COLUMN lease_until INTEGER;
-- Entries up to here were rated in memory, without rows in rating_changes ..
ALTER TABLE generations ADD COLUMN built_through INTEGER NOT NULL DEFAULT 0;
-- .. which are written afterwards, and are there up to here. All are there if this is not less.
ALTER TABLE generations ADD COLUMN changes_through INTEGER NOT NULL DEFAULT 0;
