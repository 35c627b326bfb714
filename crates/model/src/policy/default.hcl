# What every token may do unless it was made without this policy. Edit it freely: it is written once, on the first
# start, and never touched again.

# Its own token: see, renew, give up.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# What it may do on a path, by which rule, and everywhere. The last is for user interfaces; its form may change.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
path "sys/strongroom/can-self" {
  capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
  capabilities = ["read"]
}

# Its own entity.
path "identity/entity/id/{{identity.entity.id}}" {
  capabilities = ["read"]
}
path "identity/entity/name/{{identity.entity.name}}" {
  capabilities = ["read"]
}

# A lease whose id it knows. The id cannot be guessed, and looking it up shows no credential.
path "sys/leases/lookup" {
  capabilities = ["update"]
}
path "sys/leases/renew" {
  capabilities = ["update"]
}
# The same under the name that old clients use.
path "sys/renew" {
  capabilities = ["update"]
}

# The cubbyhole, which no other token can see.
path "cubbyhole/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# Handing a value over in a wrapping token, looking at one's age, and opening it.
path "sys/wrapping/wrap" {
  capabilities = ["update"]
}
path "sys/wrapping/lookup" {
  capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}

# Hashing what it brings itself.
path "sys/tools/hash" {
  capabilities = ["update"]
}
path "sys/tools/hash/*" {
  capabilities = ["update"]
}

# Logging in to other programs through this server.
path "identity/oidc/provider/+/authorize" {
  capabilities = ["read", "update"]
}
