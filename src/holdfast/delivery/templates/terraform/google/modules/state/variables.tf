variable "bucket" {
  description = "Its name, which nobody else in the world has."
  type        = string
}

variable "region" {
  description = "Where it is."
  type        = string
}
