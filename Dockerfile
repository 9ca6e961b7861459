# The service and its commands, for docker-compose.yml.
FROM python:3.13-slim
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY service service
COPY lambda_adapter lambda_adapter
COPY bootstrap bootstrap
COPY pixdepot pixdepot
RUN pip install --no-cache-dir -c constraints.txt . && useradd --create-home pixdepot
USER pixdepot
ENTRYPOINT ["pixdepot"]
CMD ["serve", "--host", "0.0.0.0"]
