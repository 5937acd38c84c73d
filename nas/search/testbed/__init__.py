"""What a search asks: qualities and latencies of subnets, predicted in bulk and measured for finalists."""
