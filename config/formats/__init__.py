"""How pages write times: as logs do, so that support can lay one beside the other."""
