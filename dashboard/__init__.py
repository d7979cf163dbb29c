"""The web page, the report and the metrics over a state directory. Reads; what people
ask for is left as commands."""
