"""What people write, read into definitions: relaxed JSON, quantities, cron expressions and settings.

Reading gives either all of it or every problem at once, with its place. Only `source` (the file) and `place` (the
machine) touch the world; everything else takes text and gives values. Nothing is gathered up here, so that who needs a
quantity does not load the file reader.

To read in this order: `relaxed_json` (text to a tree that knows its places), `problems`, `quantities`, `cron`,
`reading` (how a tree is walked), `resources`, `environments`, `definitions`, `schedules` and `services` (what the walk
finds), `jobs` (all of it together), `source`; and for how a node runs `settings`, `setting_kinds`, `place`.
"""
