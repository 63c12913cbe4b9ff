"""``raydp-wrap jobs``: supervised submissions, on the command line. The client does it; here it is rendered."""
