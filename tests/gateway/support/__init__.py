"""What the outside tests are built from: the gateway as a process, apps, a recording app, and clients."""
