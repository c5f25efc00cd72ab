variable "region" {
  description = "Where everything is."
  type        = string
}

variable "written" {
  description = "{workload: how often its secret was written}; one more, and it is written anew, with a new password."
  type        = map(number)
  default     = {}
}
[% if given %]

variable "secrets" {
  description = "What only people know, {workload: {variable: value}}; read when a secret is written."
  type = object({
[% for workload in given %]
    [= workload.name | plain =] = object({
[% for name in workload.given %]
      [= name | plain =] = string
[% endfor %]
    })
[% endfor %]
  })
  sensitive = true
  ephemeral = true
}
[% endif %]
