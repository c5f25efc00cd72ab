# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "project" {
  description = "The project that everything is in."
  type        = string
}

variable "written" {
  description = "{workload: how often its secret was written}; one more, and it is written anew, with a new password."
  type        = map(number)
  default     = {}
}
