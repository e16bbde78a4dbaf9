"""The fake model server and what else tests, `verify`, `bench` and the soak test share. Never deployed."""
