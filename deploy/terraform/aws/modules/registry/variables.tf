# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "repository" {
  description = "The name of the images."
  type        = string
}

variable "readers" {
  description = "Numbers of other accounts whose clusters run the images."
  type        = list(string)
}
