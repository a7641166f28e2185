"""Files of other tools, read as inventories: what there is in them that sealboot has, and word of all else."""
