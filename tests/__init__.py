import os

# Read when gRPC is loaded. Its fork handlers abort what a test forks while channels of another test close.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
