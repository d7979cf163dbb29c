"""The web page, the report and the metrics of a state directory.

It only reads; what users ask for is left as commands.
"""
