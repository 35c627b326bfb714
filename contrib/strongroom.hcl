# A server on one machine. Every key is in docs/configuration.md; `strongroom server -check -config=FILE` tells
# whether the file is good before a restart or a reload.

storage "sqlite" {
  path = "/var/lib/strongroom/data.db"
}

# For clients elsewhere. Renew certificate and key in place, then `systemctl reload strongroom`.
listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/etc/strongroom/tls.crt"
  tls_key_file  = "/etc/strongroom/tls.key"
}

# For operators on this machine: VAULT_ADDR=unix:///run/strongroom/strongroom.sock
listener "unix" {
  address      = "/run/strongroom/strongroom.sock"
  socket_mode  = "0660"
  socket_group = "strongroom"
}

# The address that clients know the server by.
api_addr = "https://secrets.example.com:8200"

# The audit trail belongs on a disk of its own, and its checkpoints on another machine: docs/audit.md.
trail {
  path = "/var/lib/strongroom/trail"
}

log_level = "info"
log_file  = "/var/log/strongroom/server.log"
