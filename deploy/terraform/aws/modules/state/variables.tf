# Rendered by `holdfast render shop --only terraform` from the declaration of shop.
# It is written anew each time, unless a line of it is `# holdfast: kept` and nothing else.

variable "bucket" {
  description = "Its name, which nobody else in the world has."
  type        = string
}
