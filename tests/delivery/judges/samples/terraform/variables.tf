variable "region" {
  type        = string
  description = "where everything is"
}

variable "block" {
  type        = string
  description = "the addresses of the network"
  default     = "10.0.0.0/16"
}
