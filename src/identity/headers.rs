//! Identity towards the app: strip every spelling a client may have sent, then set ours, in one call.
