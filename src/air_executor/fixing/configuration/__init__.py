"""What `config/autonomous_fix.yaml` may say."""
