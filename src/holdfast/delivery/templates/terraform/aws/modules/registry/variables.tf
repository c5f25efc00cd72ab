variable "repository" {
  description = "The name of the images."
  type        = string
}

variable "readers" {
  description = "Numbers of other accounts whose clusters run the images."
  type        = list(string)
}
