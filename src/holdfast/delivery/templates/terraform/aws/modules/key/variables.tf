variable "name" {
  description = "The key's alias."
  type        = string
}

variable "description" {
  description = "What the key is for."
  type        = string
}
