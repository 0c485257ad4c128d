"""Where a session lives: in its cookie, or in a store on the server."""
