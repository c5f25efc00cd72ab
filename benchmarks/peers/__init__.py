"""What Holdfast is compared with, and the backend behind both gateways."""
