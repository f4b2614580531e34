"""What every process needs, and no word of the domain: settings, logs, server, client, database."""
