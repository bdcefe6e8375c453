"""What people do with the app: search, judge, train, compare. The workflows know no screen; the screens are in `ui`."""
