variable "workloads" {
  description = "{workload: its secret, the variables in it, also of the role that owns its database, and how often it was written}."
  type = map(object({
    secret   = string
    url      = optional(string)
    password = optional(string)
    owner    = optional(object({ role = string, url = string, password = string }))
    given    = optional(list(string), [])
    written  = number
  }))
}

variable "databases" {
  description = "The server of managed databases, the secret of the role that makes the others, and how often that was written; null where they are in the cluster."
  type        = object({ server = string, admin = string, written = number })
  default     = null
}

variable "authority_path" {
  description = "Where pods find the authority of the server's certificate."
  type        = string
}

variable "given" {
  description = "{workload: {variable: value}} of what only people know."
  type        = map(map(string))
  default     = {}
  sensitive   = true
  ephemeral   = true
}
