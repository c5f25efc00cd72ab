variable "name" {
  description = "The system and its environment."
  type        = string
}

variable "region" {
  description = "Where everything is."
  type        = string
}
