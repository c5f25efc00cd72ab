output "id" {
  description = "The key, once those who need it may use it."
  value       = google_kms_crypto_key.this.id
  depends_on  = [google_kms_crypto_key_iam_member.user]
}
