"""spark-submit and raydp-submit for raydp-wrap, through its plugin entry point."""
