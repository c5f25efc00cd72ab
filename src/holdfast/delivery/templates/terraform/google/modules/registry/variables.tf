variable "repository" {
  description = "The name of the repository."
  type        = string
}

variable "region" {
  description = "Where it is."
  type        = string
}
