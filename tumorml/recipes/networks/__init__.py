"""The networks: each module builds one network or a family of networks."""
