"""Whole processes of meter, everything but the sockets, in virtual time: killed, stopped, cut off and replaced."""
