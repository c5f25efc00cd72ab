# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "repository" {
  description = "The name of the repository."
  type        = string
}

variable "region" {
  description = "Where it is."
  type        = string
}
