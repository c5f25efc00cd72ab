# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "name" {
  description = "The key's alias."
  type        = string
}

variable "description" {
  description = "What the key is for."
  type        = string
}
