"""How the hub refuses."""


class HfHubHTTPError(OSError):
    """Any answer but success."""


class RepositoryNotFoundError(HfHubHTTPError):
    """No such repository, or not for this token."""


class GatedRepoError(RepositoryNotFoundError):
    """Its licence was not accepted."""


class RevisionNotFoundError(HfHubHTTPError):
    """No such commit, tag or branch."""
