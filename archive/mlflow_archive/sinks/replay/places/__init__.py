"""Where objects go: experiments and workspaces of the target."""
