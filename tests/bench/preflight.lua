-- The headers come from the command line.

wrk.method = "OPTIONS"
