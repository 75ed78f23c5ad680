"""Files of any size tagged in shards, by processes or on a Ray cluster; a stopped run goes on."""
