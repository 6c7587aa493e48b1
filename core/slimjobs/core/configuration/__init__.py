"""What people write, read into definitions: relaxed JSON, quantities, cron expressions and settings.

Reading gives either all of it or every problem at once, with its place.
"""
